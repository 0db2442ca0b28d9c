"""Boxes around objects of images, as targets: COCO, Pascal VOC and YOLO annotations."""
