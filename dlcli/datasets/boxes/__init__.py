"""Bounding boxes as targets of images: COCO, Pascal VOC and YOLO annotations."""
